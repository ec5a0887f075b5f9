"""Rollouts, statistics, reports, plots and videos; and what training shares with them: the loop and run folders."""
