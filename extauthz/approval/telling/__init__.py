"""How people and systems are told of approvals: which letters there are, what they say, and when they are sent again.

The rule: what came with a request is text that somebody else has written. No format lets it be more than text: no link,
no mention, no header. And no letter lets anybody answer: its link leads to the page, where approvers say who they are.
"""
