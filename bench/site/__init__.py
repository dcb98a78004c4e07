"""All published runs as a static site: plain files, which need no server and ask for nothing from elsewhere."""
