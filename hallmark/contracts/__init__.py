"""What the whole project agrees on: names, tables, errors, checks of values, seeds."""
