"""What authors of readers and plugins test their own work with."""
