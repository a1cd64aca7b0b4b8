"""A submission server of our own (RFC 6409): the judge of what was really sent, in tests, `make try` and the demo.

``server`` speaks SMTP, ``journal`` writes down what happened, ``authority`` signs the certificates, ``accounts`` knows the
logins, ``faults`` holds one tiny function per way to misbehave.
"""
