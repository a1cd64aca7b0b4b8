"""An OAuth token endpoint of our own (RFC 6749 section 6) over HTTPS on loopback, for tests."""
