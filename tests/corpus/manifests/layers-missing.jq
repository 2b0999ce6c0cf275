del(.layers)
