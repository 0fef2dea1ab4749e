"""What a shell is told when somebody presses Tab.

The rule kept here: it takes no longer than a Python takes to start. So commands and their options are read from
`commands.json`, which `make cli-docs` writes from the commands themselves, and no command is imported.
"""
