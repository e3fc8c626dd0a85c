"""The application of the documentation's examples."""

from contextlib import contextmanager


class App:
    @contextmanager
    def app_context(self):
        yield


def create_app():
    return App()
