"""The one exception that a user's mistake raises."""


class UserError(Exception):
    """A mistake of the user: one sentence that names the file or field and the remedy.

    The command line prints the sentence and exits with code 2; anything else that is raised is our own mistake.
    """


class NotThereError(UserError):
    """What a study names is not in the place where it was looked for; a command may say how to name another place."""
