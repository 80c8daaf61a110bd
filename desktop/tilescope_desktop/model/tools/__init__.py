"""Tools as state machines over the mouse: what it does becomes wishes, which others fulfil."""
