"""`make demo`'s path: a real node, the operator by Helm, 200 mailboxes, 600 mails, accounted for by the mail server's own log."""

import tempfile
from pathlib import Path

import pytest

from demo.accounting import Account
from demo.cluster import explained, run
from demo.progress import Progress
from demo.target import own_node


@pytest.mark.node
def test_every_mail_of_the_demo_is_accounted_for(pytestconfig: pytest.Config) -> None:
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    progress = Progress("demo")
    with tempfile.TemporaryDirectory(prefix="warmup-demo-") as folder, capture.global_and_fixture_disabled():
        directory = Path(folder) / "node"
        with own_node(progress, directory) as target, explained(target, progress):
            result = run(target, progress)
        assert not directory.exists()
    assert result == Account(
        mailboxes=200, due=600, sent=600, in_doubt=0, duplicates=0, lost=0, workers=2, discrepancies=()
    )
    assert result.complete
