module infraforge.local/images/unsealer

go 1.26.0
