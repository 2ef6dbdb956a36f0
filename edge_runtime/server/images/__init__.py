"""Where the pictures of a request come from: the request itself, a folder, another host."""
