"""One module a form of satellite input; each returns a Recording, which open_scene normalises."""
