"""What the tabs' listeners share."""

from guardui.tabs.wiring import dropdown


def test_a_list_sends_its_value_only_where_the_page_has_another() -> None:
    assert dropdown((["a", "b"], "b"), "a")._constructor_args[0] == {
        "choices": ["a", "b"],
        "value": "b",
    }
    # A timer's answer may come after a newer choice, which it must not undo.
    assert dropdown((["a", "b"], "a"), "a")._constructor_args[0] == {"choices": ["a", "b"]}
