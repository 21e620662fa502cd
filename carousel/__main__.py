"""``python -m carousel``, which ``torchrun`` needs."""

from carousel.cli import main

main()
