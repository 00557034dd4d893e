"""One file a sheet of exercises, under the name of its lecture."""
