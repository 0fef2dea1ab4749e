"""How letters about approvals leave this server: by HTTP to webhooks, by SMTP as mail.

The rule: whoever is told can neither hold up nor lead astray who tells. One attempt has its time, whatever comes back;
and it goes where the configuration says, and nowhere else.
"""
