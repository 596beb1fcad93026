"""How right answers are, with intervals that say how sure that is. numpy only: a board evaluates too."""
