# Starts the Backplane agent beside this process of the app, if it is to have one.
# Whatever comes of that, the shell that reads this goes on as it was.
"${HOME:-/app}/.backplane/exec.d/launch" || :
