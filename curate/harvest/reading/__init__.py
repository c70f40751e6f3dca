"""How files are found, unpacked, cut into blocks, and read as lines, rows or documents."""
