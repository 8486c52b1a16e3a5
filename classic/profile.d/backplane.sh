# Starts the Backplane agent beside this process of the app, if the process should have one.
# In any case, the shell that reads this script continues unchanged.
"${HOME:-/app}/.backplane/exec.d/launch" || :
