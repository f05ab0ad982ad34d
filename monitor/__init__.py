"""The clinical core: facts and knowledge in, alert changes out. Pure: no file, network, clock or log."""
