"""The decision point (`agentid gate`): whether a call may be made with a task's identity."""
