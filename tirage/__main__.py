"""Where the `tirage` command begins, also as `python -m tirage`."""


def main() -> None:
    """Run the command line; Ctrl-C while its libraries are still being loaded ends it as quietly as later."""
    try:
        from tirage.cli.main import main as run
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    run()


if __name__ == "__main__":
    main()
