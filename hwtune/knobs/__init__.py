"""What can be set on the machine, and the transaction that sets it and puts it back."""
