"""What others have labelled by hand: packages of the tests, compared with what Tyst says."""
