"""`make bench`: everything, one after the other; the last line is for whoever reads only one.

It wants the machine for itself for ten minutes: two cores, one of which is the sender's alone.
"""

from bench import compare, held, machine, scale, shipped

MAILS, CONCURRENT, MAILBOXES, ROUNDS = 6000, 400, 100_000, 5
IN_FLIGHT = 4400


def main() -> None:
    """Run all of it."""
    print(machine.description(), shipped.description(), sep="\n", flush=True)
    scale.run()
    minute = held.run(IN_FLIGHT, MAILBOXES)
    print(f"held: {minute}", flush=True)
    ratios = compare.run(MAILS, CONCURRENT, MAILBOXES, ROUNDS)
    print(machine.description())
    print(
        f"bench: ratio_floor={ratios['floor']:.2f} ratio_pgqueuer={ratios['pgqueuer']:.2f}"
        f" ratio_scheme={ratios['scheme']:.2f} mails_per_second={minute.cost.mails_per_second:.0f}"
        f" rss_mb={minute.cost.resident_mb:.0f}"
    )


if __name__ == "__main__":
    main()
