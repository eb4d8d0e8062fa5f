module evergate

go 1.27
