"""What every process of agentid has: clocks that nobody sets, settings that are read strictly."""
