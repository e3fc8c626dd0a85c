"""Its folder is on the import path, and so are `shop` and the tests."""
