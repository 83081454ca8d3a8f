"""Tables and reports from records. Reads records only; knows no method."""
