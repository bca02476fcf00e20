"""What an audit found as people read it: in a terminal, in Markdown and in a page."""
