"""What our collective hosts: the stack files in stacks/ declare all of it."""

from chatons.main import main

main()
