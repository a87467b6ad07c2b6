"""Problems of programming contests, from files in the fields of APPS and of CodeContests."""
