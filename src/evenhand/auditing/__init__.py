"""Audit from predictions alone: who is badly served, and how sure is that."""
