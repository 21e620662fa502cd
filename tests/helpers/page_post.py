"""Answers on their way to a page, held back."""

import json
import re


class Post:
    """Answers of the server on their way to a page: each can be held back, or refused in its stead."""

    def __init__(self, page, question):
        self.page, self.held, self.refusal = page, [], None
        self.holds = False
        page.route(re.compile(rf"/api/{question}$"), self._on)

    def _on(self, route):
        if self.refusal:
            route.fulfill(status=400, content_type="application/json", body=json.dumps({"error": self.refusal}))
        elif self.holds:
            self.holds = False
            self.held.append((route, route.fetch()))
        else:
            route.continue_()

    def hold_next(self):
        self.holds = True

    def wait(self):
        """Return once an answer is held back."""
        for _ in range(200):
            if self.held:
                return
            self.page.wait_for_timeout(20)
        raise AssertionError("nothing was asked")

    def deliver(self):
        for route, reply in self.held:
            route.fulfill(response=reply)
        self.held = []
        self.page.wait_for_timeout(150)
