"""Picture files, contact sheets, and how a picture was made."""
