"""Series of numbers, as files hold them."""
