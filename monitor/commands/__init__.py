"""What stands behind the commands of `monitor.cli`, one small file each."""
