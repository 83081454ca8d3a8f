"""What a person watches: text that comes out as it is, and progress. Used by the command line and by notebooks."""
