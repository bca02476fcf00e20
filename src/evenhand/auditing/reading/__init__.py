"""What is read: files and tables, their columns, what their values mean, and where they are broken."""
