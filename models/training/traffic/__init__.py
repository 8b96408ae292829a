"""Clips of dense traffic, with truth: what the daemon's tracking and fusion are measured on.

`drive_by.py` draws one handsome clip for the demo; this package draws thousands
of vehicles quickly.  `scenarios` says what can be asked for, `plan` decides who
drives where and when, `road`, `patches` and `weather` hold what is drawn, `stage`
puts a frame together, `truth` writes down what was to be seen, and `make` is the
command.
"""
