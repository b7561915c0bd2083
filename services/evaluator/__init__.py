"""A farm of simulated or real microcontrollers that runs and measures compiled networks."""
