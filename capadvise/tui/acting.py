"""What the keys of the screen do, and when they would do nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from textual.screen import ModalScreen
from textual.widgets import Input

from capadvise.model.caps import Cap
from capadvise.model.escape import printable
from capadvise.report.pages import ON_TERMINAL
from capadvise.tui.capabilities import Capabilities
from capadvise.tui.files import nearest
from capadvise.tui.helpscreen import HelpScreen
from capadvise.tui.livetab import LiveTab
from capadvise.tui.palette import BINDINGS, described
from capadvise.tui.proving import Proving
from capadvise.tui.snippets import COPIED, rendered
from capadvise.tui.when import WHEN


class Actions(Proving):
    """The actions of ``Main``."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide the keys that would do nothing."""
        if self.takes_keys:
            return action == "give_back"
        if (action, *parameters) == ("go", "live"):
            return self.source is not None
        condition = WHEN.get(action)
        return condition is None or bool(condition(self))

    @property
    def running(self) -> bool:
        """Whether something is being recorded."""
        return self.source is not None and not self.over

    @property
    def in_field(self) -> bool:
        """Whether a field takes all keys, or the search is open."""
        return (self.place == "review" and self.review.searching) or isinstance(self.focused, Input)

    # ------------------------------------------------------------------------------ the tabs

    def action_go(self, place: str) -> None:
        """Another tab."""
        self.place = place

    def action_review(self) -> None:
        """From what was recorded to its review, at the same capability."""
        cap, self.place = self.live.caps.selected, "review"
        if cap is not None:
            self.review.caps.select(cap)

    def action_lamp(self, number: int) -> None:
        """A lamp was clicked."""
        if not self.tab.LISTS_CAPS:
            self.place = "review"
        self.tab.select(Cap(number))
        self.show_board()

    def action_target(self, by: int = 1) -> None:
        """Another target."""
        self.current = (self.current + by) % len(self.states)

    def action_step(self, by: int = 1) -> None:
        """Another event."""
        self.live.step(by)
        self.show()

    def action_view(self, by: int = 1) -> None:
        """Another pane."""
        self.review.next_view(by)

    def action_zoom(self) -> None:
        """The pane with the focus fills the screen."""
        if self.focused is not None:
            self.maximize(self.focused, container=False)

    def watch_maximized(self) -> None:
        """Escape leads back."""
        self.refresh_bindings()

    def action_unzoom(self) -> None:
        """All panes again."""
        self.minimize()

    def action_fold(self) -> None:
        """Unfold or fold the groups of the list."""
        (self.live if self.place == "live" else self.review).caps.fold()

    def action_sort(self) -> None:
        """Another order, in both lists."""
        order = self.review.caps.order.following
        self.live.caps.sort(order)
        self.review.caps.sort(order)
        self.query_one("#left").border_subtitle = f"by {order} · / search"
        self.query_one("#caps-pane").border_subtitle = f"by {order}"

    def action_search(self) -> None:
        """Open the search."""
        self.review.search()
        self.refresh_bindings()

    def action_back(self) -> None:
        """Out of what takes all keys, or fills the screen."""
        if self.maximized is not None:
            self.minimize()
        elif self.place == "review":
            self.review.end_search()
        else:
            self.query_one("#trials").focus()
        self.refresh_bindings()

    def action_help(self) -> None:
        """The keys of this tab, and what it is about."""
        order = [binding.id for binding in BINDINGS]
        ours = [item.binding for item in self.active_bindings.values() if item.binding.id in order]
        keys = [
            (self.app.get_key_display(binding), described(binding))
            for binding in sorted(ours, key=lambda binding: order.index(binding.id))
        ]
        self.app.push_screen(HelpScreen(keys, self.tab.HELP))

    # --------------------------------------------------------------------------- the recording

    def action_type(self) -> None:
        """Give the keyboard to the target."""
        self.give_keys()

    def give_keys(self) -> None:
        """The target has the keyboard."""
        self.set_focus(self.live.output)
        self.live.output.typing = True

    def action_give_back(self) -> None:
        """The pane does it: this is its line among the keys."""

    def action_freeze(self) -> None:
        """Stop drawing."""
        self.frozen = True
        self.show_board()

    def action_thaw(self) -> None:
        """Go on drawing."""
        self.frozen = False
        self.show()

    def action_stop(self) -> None:
        """End the target."""
        if self.source is not None:
            self.source.stop()

    def action_kill(self) -> None:
        """It was asked before."""
        self.action_stop()

    def action_interrupt(self) -> None:
        """End the target; leave, where it has ended."""
        if self.running:
            self.action_stop()
        elif self.get_selected_text():
            self.action_copy_text()
        else:
            self.leave()

    def action_suspend(self) -> None:
        """Ctrl-Z: the recording goes on."""
        self.app.action_suspend_process()

    def action_leave(self) -> None:
        """Nothing goes on behind the user's back."""
        self.leave()

    def leave(self, code: int = 0) -> None:
        """End the target first; the application ends after it."""
        self.proof.stop()
        if not self.running:
            self.app.exit(return_code=code)
        elif not self.leaving:
            self.leaving = True
            self.action_stop()

    # -------------------------------------------------------------------------- what is wanted

    def action_keep(self) -> None:
        """Keep or drop the highlighted capability."""
        if self.choice is not None and self.selected is not None:
            self.choose(self.choice.toggle(self.selected))

    def on_capabilities_marked(self, event: Capabilities.Marked) -> None:
        """A click on its mark."""
        if self.choice is not None and self.place == "review":
            self.choose(self.choice.toggle(event.cap))

    def action_undo(self) -> None:
        """Take back one step."""
        self.state.undo()
        self.show()

    def action_reset(self) -> None:
        """Take back all changes."""
        if self.choice is not None:
            self.choose(replace(self.choice, toggled=frozenset()))

    def action_base(self) -> None:
        """The other set of the report."""
        if self.choice is not None:
            self.choose(self.choice.other_base())

    def action_format(self, by: int = 1) -> None:
        """Another language."""
        at = ON_TERMINAL.index(self.language) + by
        self.format_name = ON_TERMINAL[at % len(ON_TERMINAL)]

    @property
    def language(self) -> str:
        """The one that was chosen, else the target's own."""
        known = self.choice.report.target.language if self.choice is not None else "compose"
        return self.format_name or known

    def use_format(self, name: str) -> None:
        """This language."""
        self.place = "review"
        self.format_name = name

    def action_save(self) -> None:
        """Ask where to; nothing is written before."""
        if self.choice is not None:
            self._save(self.language, None)

    def action_apply(self) -> None:
        """Into the file here that it belongs to; the change is shown first."""
        if self.choice is None:
            return
        here = nearest(self.choice.report.target)
        if here is None:
            self.notify("No compose file, manifest or unit is here. s saves a new one.")
        else:
            path, name = here
            self._save(name, path)

    def _save(self, format_name: str, path: Path | None) -> None:
        from capadvise.tui.save import Save  # with all that changes files: 40 ms

        if self.choice is not None:
            self._ask(Save(self.choice, format_name, self.catalog, self.confirm, path=path))

    def action_export(self) -> None:
        """Ask under which name; nothing is written before."""
        from capadvise.tui.export import Export

        if self.choice is not None:
            self._ask(Export(self.choice, self.catalog))

    def _ask(self, screen: ModalScreen[str | None]) -> None:
        self.app.clear_notifications()  # they would be in its way
        self.app.push_screen(screen, self._told)

    def _told(self, said: str | None) -> None:
        if said is not None:
            self.state.saved = True
            more = "" if all(state.saved for state in self.states) else " n: the next target."
            self.notify(f"{printable(said)}.{more}", title="Saved", markup=False)

    def action_copy(self) -> None:
        """The snippet to the terminal's clipboard."""
        if self.choice is not None:
            self.app.copy_to_clipboard(rendered(self.choice, self.language, self.catalog))
            self.notify(f"The {self.language} snippet is {COPIED}.")

    # ------------------------------------------------------------------------------ the panes

    def on_moved(self) -> None:
        """The lamp of the highlighted capability is marked."""
        self.show_board()

    def on_live_tab_chosen(self) -> None:
        """Enter leads on, once there is a review."""
        if self.over:
            self.action_review()

    def on_live_tab_service_chosen(self, event: LiveTab.ServiceChosen) -> None:
        """Another target is highlighted."""
        if event.number < len(self.states):
            self.current = event.number
