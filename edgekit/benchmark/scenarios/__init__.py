"""MLPerf Inference's edge scenarios: what the rules ask for, and a run of one."""
