"""The words that the layers share: frozen values without behaviour that needs I/O, time or keys.

`None` and empty mean "absent" here. What a CEL condition sees of a value is declared in `policy.context`.
"""
