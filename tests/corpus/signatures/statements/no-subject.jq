del(.subject)
