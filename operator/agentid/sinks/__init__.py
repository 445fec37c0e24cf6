"""Where the record goes besides the ledger: standard output, files, HTTP; none holds up an end."""
