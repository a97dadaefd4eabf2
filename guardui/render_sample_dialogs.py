"""What the inspector shows once and never draws again: search, preferences, and its dialogs.

They stay out of the parts that are drawn anew, so that nothing typed is lost. `samples.js` opens a
dialog by its name, fills in what it is about, and sends its form's fields on.
"""

from __future__ import annotations

from guardui.render import page
from guardui.render_sample_words import DIFFERENT, REASONS
from pipelines.schema import GuardTask

KEYS = (
    ("j", "next sample; on a row also ↓"),
    ("k", "previous sample; on a row also ↑"),
    ("Enter", "open the row that is in focus"),
    ("Esc", "close the sample"),
    ("a", "accept"),
    ("d", "drop, with a reason"),
    ("u", "undo the last thing done"),
    ("r", "reveal or hide the texts"),
    ("x", "select or deselect"),
    ("[", "previous page"),
    ("]", "next page"),
    ("/", "search"),
    ("?", "this list"),
)
# Name in the browser's storage, words, what it means.
PREFERENCES = (
    ("revealed", "Keep revealed", "Show the texts of every sample, and how each request begins"),
    ("onward", "Go on", "Open the next sample after accept or drop"),
    ("keys", "Keys", "Listen to the keys that ? lists"),
)
LONGEST_REASON = 500
LONGEST_NAME = 100


def tools() -> str:
    """Search and the reader's own settings."""
    preferences = "".join(_preference(*one) for one in PREFERENCES)
    return page(
        '<div class="hs-search"><label><span class="vh">Search in requests and responses</span>'
        '<input type="search" name="text" data-filter placeholder="Search requests and responses" '
        'aria-keyshortcuts="/" autocomplete="off" spellcheck="false"></label>'
        f'<span class="hs-prefs">{preferences}'
        '<button type="button" class="gu-icon" data-ask="help" aria-label="Which keys do what" '
        'title="Which keys do what (?)">?</button></span></div>'
    )


def _preference(name: str, words: str, meaning: str) -> str:
    return (
        f'<label title="{meaning}"><input type="checkbox" data-preference="{name}" '
        f'aria-description="{meaning}"> {words}</label>'
    )


def dialogs() -> str:
    """All dialogs, shut."""
    return page(_drop(), _relabel(), _edit(), _study(), _freeze(), _confirm(), _help())


def _dialog(name: str, title: str, body: str, go: str, look: str = "primary") -> str:
    return (
        f'<dialog class="hs-dialog" id="hs-{name}" aria-labelledby="hs-{name}-title">'
        f'<form method="dialog" data-act="{name}"><h2 id="hs-{name}-title">{title}</h2>'
        f'<p class="soft" data-about></p>{body}'
        '<p class="gu-note bad" role="alert" data-fault hidden></p>'
        '<div class="hs-actions"><span class="grow"></span>'
        '<button type="button" class="gu-copy" data-shut>Cancel</button>'
        f'<button type="submit" class="gu-copy {look}">{go}</button></div></form></dialog>'
    )


def snack() -> str:
    """Where the tab says what was done, with a way back."""
    return page(
        '<div class="hs-snack" id="hs-snack" hidden><span role="status"></span>'
        '<button type="button" class="link accent" data-undo hidden>Undo '
        "<kbd>u</kbd></button></div>"
    )


def _drop() -> str:
    choices = "".join(
        f'<label class="hs-choice"><input type="radio" name="reason" value="{words}"'
        f"{' checked' if not place else ''}{' data-words' if words == DIFFERENT else ''}> {words}"
        "</label>"
        for place, words in enumerate((*REASONS, DIFFERENT))
    )
    return _dialog(
        "drop",
        "Drop, because …",
        f"{choices}<label>In words <small>(needed for another reason)</small>"
        f'<input type="text" name="more" maxlength="{LONGEST_REASON}" autocomplete="off"></label>'
        '<p class="soft">A dropped sample goes into no version, and can be restored.</p>',
        "Drop",
    )


def _relabel() -> str:
    fields = "".join(
        f'<label data-task="{task.value}">{task.heading}<select name="{task.value}">'
        '<option value="">none (not known)</option>'
        + "".join(f'<option value="{label}">{label}</option>' for label in task.labels)
        + "</select></label>"
        for task in GuardTask
    )
    return _dialog(
        "relabel",
        "Relabel the gold",
        f'{fields}<p class="soft">Computed anew from the same answers: which are right, how many '
        "of k are wrong, the task that the sample is hard for, chosen and rejected, the kind of "
        "error and the flags. Weights are when a version is frozen. The mined label stays on "
        "record.</p>",
        "Relabel",
    )


def _edit() -> str:
    return _dialog(
        "edit",
        "Edit the <span data-side></span> text",
        '<input type="hidden" name="side"><label><span class="vh">Text</span>'
        '<textarea name="text" rows="18" spellcheck="true" required></textarea></label>'
        '<p class="soft">Saved as a further answer that is marked human-edited; the one that the '
        "model wrote stays. Keep the Answers block at the end: the verdicts are read from it.</p>",
        "Save as a new answer",
    )


def _study() -> str:
    return _dialog(
        "study",
        "Send to a preference study",
        f'<label>Name of the study<input type="text" name="name" maxlength="{LONGEST_NAME}" '
        'required autocomplete="off"></label><p class="soft">People see both traces of reasoning '
        "without their verdicts, on sides drawn at random, in the Rate tab.</p>",
        "Make the study",
    )


def _freeze() -> str:
    return _dialog(
        "freeze",
        "Freeze as version",
        f'<label>Name <small>(empty: the set\'s own)</small><input type="text" name="name" '
        f'maxlength="{LONGEST_NAME}" autocomplete="off"></label>'
        '<label>Note<input type="text" name="note" maxlength="500" autocomplete="off" '
        'placeholder="What is special about it"></label>'
        '<label class="hs-choice"><input type="checkbox" name="only_accepted" value="1"> '
        "Only accepted samples</label>"
        '<p class="soft">A version is a frozen, hashed copy. Dropped samples and those without a '
        "pair stay out, filters don't matter, and weights are computed anew.</p>",
        "Freeze",
    )


def _confirm() -> str:
    return _dialog("confirm", "Are you sure?", "", "Yes, all of them")


def _help() -> str:
    rows = "".join(f"<dt><kbd>{key}</kbd></dt><dd>{words}</dd>" for key, words in KEYS)
    return (
        '<dialog class="hs-dialog" id="hs-help" aria-labelledby="hs-help-title">'
        '<form method="dialog"><h2 id="hs-help-title">Keys</h2>'
        f'<dl class="hs-keys">{rows}</dl><p class="soft">They do nothing while you type in a '
        "field, and can be switched off beside the search.</p>"
        '<div class="hs-actions"><span class="grow"></span>'
        '<button type="submit" class="gu-copy primary">Close</button></div></form></dialog>'
    )
